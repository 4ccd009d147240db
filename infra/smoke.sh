#!/bin/sh
# The smoke test with the keys it needs: `sh infra/smoke.sh com.example.shop`. Other arguments are handed on.
# Reads AZURE_RESOURCE_GROUP, FUNCTION_APP_NAME, FUNCTION_APP_URL, KEY_VAULT_NAME and SECRET_SETTINGS.
set -eu
# shellcheck source=infra/hooks/lib.sh
. "$(dirname "$0")/hooks/lib.sh"

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP_NAME:?}" "${FUNCTION_APP_URL:?}" "${KEY_VAULT_NAME:?}"
app=${1:?name an app of exports.toml}
shift

# In variables of this process alone: never printed, and never an argument.
SMOKE_FUNCTION_KEY=$(az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" \
  --query functionKeys.default --output tsv)
export SMOKE_FUNCTION_KEY
case ",$(echo "${SECRET_SETTINGS:-}" | tr -d ' ')," in
  *,REQUEST_SIGNING_SECRET,*)
    SMOKE_SIGNING_SECRET=$(az keyvault secret show --vault-name "$KEY_VAULT_NAME" --name REQUEST-SIGNING-SECRET \
      --query value --output tsv)
    export SMOKE_SIGNING_SECRET
    ;;
  *) ;;
esac
exec "${PYTHON:-python3}" -m scripts.smoke "$FUNCTION_APP_URL" --app "$app" "$@"
