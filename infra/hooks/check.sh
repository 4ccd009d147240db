#!/bin/sh
# Before anything is made: what would only fail later, with the remedy.
# Reads AZURE_ENV_NAME, AZURE_LOCATION, MOBEXPORT_TIER, MONTHLY_BUDGET, BUDGET_START, ZONE_REDUNDANT and RECOVER_VAULT.
set -eu
# shellcheck source=infra/hooks/lib.sh
. "$(dirname "$0")/lib.sh"

fail() {
  printf '%s\n' "$@" >&2
  exit 1
}

: "${AZURE_ENV_NAME:?set the name of the deployment}"
tier=${MOBEXPORT_TIER:-dev}

[ -f exports.toml ] || fail \
  "There is no exports.toml: copy exports.sample.toml and name your apps (docs/settings.md)." \
  "In GitHub Actions: set the variable EXPORTS_TOML to its text."

if [ "${GITHUB_ACTIONS:-}" = true ]; then
  # What people are asked for, or is made for them, a workflow must be given.
  for name in AZURE_LOCATION AZURE_SUBSCRIPTION_ID EXPORT_API_CLIENT_ID; do
    eval "value=\${$name:-}"
    [ -n "$value" ] || fail "Set the variable $name in the GitHub environment $AZURE_ENV_NAME (docs/deploy.md lists all)."
  done
fi

[ "${ZONE_REDUNDANT:-false}" = false ] || [ "$tier" = prod ] || fail \
  "ZONE_REDUNDANT needs the tier prod, whose accounts are in several zones: azd env set MOBEXPORT_TIER prod, before the first" \
  "azd up of an environment."

[ "${MONTHLY_BUDGET:-0}" = 0 ] || [ -n "${BUDGET_START:-}" ] || fail \
  "MONTHLY_BUDGET needs BUDGET_START: the first day of this month or a later one, such as 2026-12-01. It can never change."

group="rg-mobexport-$AZURE_ENV_NAME"
if [ "$(az group exists --name "$group" --output tsv)" = true ]; then
  there=$(az group show --name "$group" --query 'tags."mobexport-tier"' --output tsv)
  [ -z "$there" ] || [ "$there" = "$tier" ] || fail \
    "The deployment $AZURE_ENV_NAME is of the tier $there and cannot become $tier: a storage account keeps its redundancy." \
    "Make another one: azd env new NAME, then azd env set MOBEXPORT_TIER $tier."
elif [ "${RECOVER_VAULT:-}" != true ]; then
  vault=$(az keyvault list-deleted --resource-type vault \
    --query "[?properties.tags.\"azd-env-name\"=='$AZURE_ENV_NAME'].name | [0]" --output tsv)
  [ -z "$vault" ] || fail \
    "The vault $vault of an earlier deployment $AZURE_ENV_NAME is deleted but keeps its name. Either purge it:" \
    "az keyvault purge --name $vault   (refused in the tier prod until 90 days after its deletion)" \
    "or bring it back with its secrets: azd env set RECOVER_VAULT true (without azd: export it), and false after that."
fi
