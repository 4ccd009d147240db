#!/bin/sh
# After provisioning: makes the secrets that the vault does not have yet, has the app read them, and lets the roles
# of a new deployment settle.
# Reads AZURE_RESOURCE_GROUP, FUNCTION_APP_NAME, KEY_VAULT_NAME and SECRET_SETTINGS (names of app settings,
# separated by commas). A secret that is there is left alone: to rotate one see docs/security.md.
set -eu
# shellcheck source=infra/hooks/lib.sh
. "$(dirname "$0")/lib.sh"

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP_NAME:?}" "${KEY_VAULT_NAME:?set the name of the vault}"

read_vault() {
  there=$(az keyvault secret list --vault-name "$KEY_VAULT_NAME" --query '[].name' --output tsv)
}

# Through a file, since arguments can be read by every process of the machine.
make_secret() {
  printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" > "$file"
  az keyvault secret set --vault-name "$KEY_VAULT_NAME" --name "$1" --file "$file" --encoding utf-8 --output none
  echo "Secret $1: made"
}

references="config/configreferences/appsettings"

# How many references to the vault the app has not resolved, 0 or more.
has_all_secrets() {
  open=$(az rest --method GET --url "$app/$references?api-version=2022-03-01" \
    --query "length(value[?properties.status != 'Resolved'])" --output tsv) || return
  [ "$open" = 0 ]
}

# The platform reads the vault when the app's configuration changes, else once a day. The settings came before the
# secrets, so it is asked to read again: Azure/azure-docs pull request 126435. A restart alone does not do it.
resolve_secrets() {
  has_all_secrets && return
  az rest --method POST --url "$app/$references/refresh?api-version=2022-03-01" --output none
  has_all_secrets
}

# The right to read the vault is new, too: it can take minutes to take effect.
if ! try_for "The vault $KEY_VAULT_NAME cannot be read" 60 10 read_vault; then
  echo "You need the role Key Vault Secrets Officer on it, which the template gives to whoever deploys it. If the" >&2
  echo "vault is closed to the public network, add your address to ALLOWED_IP_RANGES (docs/deploy.md)." >&2
  exit 1
fi

umask 077
file=$(mktemp)
trap 'rm -f "$file"' EXIT
wanted=0
for setting in $(echo "${SECRET_SETTINGS:-}" | tr ',' ' '); do
  wanted=1
  secret=$(echo "$setting" | tr '_' '-')
  if echo "$there" | grep -qxF "$secret"; then
    echo "Secret $secret: kept"
  else
    make_secret "$secret"
  fi
done

if [ "$wanted" -eq 1 ]; then
  app=$(az functionapp show --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" --query id --output tsv)
  if has_all_secrets 2> /dev/null; then
    echo "Secrets: read by the app"
  elif try_for "The app does not read its secrets" 12 10 resolve_secrets; then
    az functionapp restart --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" --output none
    echo "Secrets: read by the app"
  else
    # Not the end: everything but the webhooks works without them, and health names each one that is missing.
    echo "Go on, and see docs/operations.md, \"A secret is not there\"." >&2
  fi
fi

# A deployment is refused with 403 while the app's roles are too new to count, and azd does not try again.
if [ -z "$(az functionapp function list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" \
  --query '[].name' --output tsv)" ]; then
  echo "Nothing is deployed yet: waiting 90 s for the app's roles to count"
  sleep 90
fi
