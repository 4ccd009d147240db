#!/bin/sh
# Before provisioning: the app registration in Entra ID that stands for the Export API.
# Reads AZURE_ENV_NAME; leaves everything as it is when EXPORT_API_CLIENT_ID is given.
set -eu

: "${AZURE_ENV_NAME:?set the name of the deployment}"

if [ ! -f exports.toml ]; then
  echo "There is no exports.toml: copy exports.sample.toml and name your apps (docs/settings.md)." >&2
  exit 1
fi

if [ -n "${EXPORT_API_CLIENT_ID:-}" ]; then
  echo "Export API: app registration $EXPORT_API_CLIENT_ID, as given"
  exit 0
fi

name="mobexport-$AZURE_ENV_NAME"
# A filter: `--display-name` would also find names that only begin so.
id=$(az ad app list --filter "displayName eq '$name'" --query '[0].appId' --output tsv)
if [ -z "$id" ]; then
  id=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
  echo "Export API: made app registration $name ($id)"
fi

# Each of these may be left over from a run that broke off, and can be repeated.
object=$(az ad app show --id "$id" --query id --output tsv)
az rest --method PATCH --url "https://graph.microsoft.com/v1.0/applications/$object" \
  --headers Content-Type=application/json \
  --body "{\"identifierUris\": [\"api://$id\"], \"api\": {\"requestedAccessTokenVersion\": 2}}" --output none
if [ -z "$(az ad sp list --filter "appId eq '$id'" --query '[0].id' --output tsv)" ]; then
  az ad sp create --id "$id" --output none
fi

if command -v azd > /dev/null && azd env get-values > /dev/null 2>&1; then
  azd env set EXPORT_API_CLIENT_ID "$id"
fi
echo "export EXPORT_API_CLIENT_ID=$id"
