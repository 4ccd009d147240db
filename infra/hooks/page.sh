#!/bin/sh
# After a first deployment: the app registration that signs the status page's users in, with its roles.
# Reads AZURE_ENV_NAME, FUNCTION_APP_URL and APP_CLIENT_ID; can be repeated. The next provisioning switches it on.
set -eu
here=$(dirname "$0")
# shellcheck source=infra/hooks/lib.sh
. "$here/lib.sh"

: "${AZURE_ENV_NAME:?set the name of the deployment}"
: "${FUNCTION_APP_URL:?deploy first: it is an output of the deployment}"
: "${APP_CLIENT_ID:?deploy first: it is an output of the deployment}"

name="mobexport-$AZURE_ENV_NAME-page"
# Ids of the roles are fixed, so that a repeated run changes nothing.
roles='[
  {"id": "5f0f1c5e-0e7d-4f3a-9d5b-6a1f0c2b7a01", "value": "reader", "displayName": "Reader", "isEnabled": true,
   "description": "Looks at exports", "allowedMemberTypes": ["User"]},
  {"id": "5f0f1c5e-0e7d-4f3a-9d5b-6a1f0c2b7a02", "value": "operator", "displayName": "Operator", "isEnabled": true,
   "description": "Requests, cancels and repeats exports", "allowedMemberTypes": ["User"]}
]'

set_up_registration() {
  object=$(az ad app show --id "$id" --query id --output tsv) || return
  az rest --method PATCH --url "https://graph.microsoft.com/v1.0/applications/$object" \
    --headers Content-Type=application/json --output none \
    --body "{\"appRoles\": $roles, \"api\": {\"requestedAccessTokenVersion\": 2}, \"web\": {
      \"redirectUris\": [\"$FUNCTION_APP_URL/.auth/login/aad/callback\"],
      \"implicitGrantSettings\": {\"enableIdTokenIssuance\": true}}}"
}

# Without it everybody of the tenant could sign in, and would learn that a role is missing.
make_principal() {
  found=$(az ad sp list --filter "appId eq '$id'" --query '[0].id' --output tsv) || return
  [ -n "$found" ] || found=$(az ad sp create --id "$id" --query id --output tsv) || return
  az rest --method PATCH --url "https://graph.microsoft.com/v1.0/servicePrincipals/$found" \
    --headers Content-Type=application/json --body '{"appRoleAssignmentRequired": true}' --output none
}

# The app's identity signs for the registration: there is no client secret.
trust_identity() {
  held=$(az ad app federated-credential list --id "$id" --query "[?name=='app-identity'].name" --output tsv) || return
  [ -z "$held" ] || return 0
  subject=$(az ad sp show --id "$APP_CLIENT_ID" --query id --output tsv) || return
  tenant=$(az account show --query tenantId --output tsv) || return
  az ad app federated-credential create --id "$id" --output none --parameters "{\"name\": \"app-identity\",
    \"issuer\": \"https://login.microsoftonline.com/$tenant/v2.0\", \"subject\": \"$subject\",
    \"audiences\": [\"api://AzureADTokenExchange\"]}"
}

id=${STATUS_PAGE_CLIENT_ID:-}
[ -n "$id" ] || id=$(az ad app list --filter "displayName eq '$name'" --query '[0].appId' --output tsv)
if [ -z "$id" ]; then
  id=$(az ad app create --display-name "$name" --sign-in-audience AzureADMyOrg --query appId --output tsv)
  echo "Status page: made app registration $name ($id)"
fi
try_for "The app registration $id" 12 5 set_up_registration
try_for "The service principal of $id" 12 5 make_principal
try_for "The federated credential of $id" 12 5 trust_identity
if command -v azd > /dev/null && azd env get-values > /dev/null 2>&1; then
  azd env set STATUS_PAGE_CLIENT_ID "$id"
fi
echo "export STATUS_PAGE_CLIENT_ID=$id"
