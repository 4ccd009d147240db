#!/bin/sh
# Before provisioning: the app registration in Entra ID that stands for the Export API.
# Reads AZURE_ENV_NAME, and what check.sh reads; leaves the directory as it is when EXPORT_API_CLIENT_ID is given.
set -eu
here=$(dirname "$0")
# shellcheck source=infra/hooks/lib.sh
. "$here/lib.sh"

: "${AZURE_ENV_NAME:?set the name of the deployment}"
sh "$here/check.sh"

make_registration() {
  name="mobexport-$AZURE_ENV_NAME"
  # A filter: `--display-name` would also find names that only begin so.
  id=$(az ad app list --filter "displayName eq '$name'" --query '[0].appId' --output tsv)
  if [ -z "$id" ]; then
    id=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
    echo "Export API: made app registration $name ($id)"
  fi

  # Each of these may be left over from a run that broke off, and can be repeated. The directory answers 404 for a
  # while after something was made.
  try_for "The app registration $id" 12 5 set_up_registration
  try_for "The service principal of $id" 12 5 make_principal
  if command -v azd > /dev/null && azd env get-values > /dev/null 2>&1; then
    azd env set EXPORT_API_CLIENT_ID "$id"
  fi
}

set_up_registration() {
  object=$(az ad app show --id "$id" --query id --output tsv) || return
  az rest --method PATCH --url "https://graph.microsoft.com/v1.0/applications/$object" \
    --headers Content-Type=application/json \
    --body "{\"identifierUris\": [\"api://$id\"], \"api\": {\"requestedAccessTokenVersion\": 2}}" --output none
}

make_principal() {
  found=$(az ad sp list --filter "appId eq '$id'" --query '[0].id' --output tsv) || return
  [ -n "$found" ] || az ad sp create --id "$id" --output none
}

id=${EXPORT_API_CLIENT_ID:-}
if [ -n "$id" ]; then
  echo "Export API: app registration $id, as given"
else
  make_registration
fi
# For those who deploy without azd (docs/deploy.md).
echo "export EXPORT_API_CLIENT_ID=$id"
