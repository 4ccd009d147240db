#!/bin/sh
# Deploys the package without azd and func: `sh infra/publish.sh dist/app.zip`. Azure installs its requirements.
# Reads AZURE_RESOURCE_GROUP and FUNCTION_APP_NAME.
set -eu
# shellcheck source=infra/hooks/lib.sh
. "$(dirname "$0")/hooks/lib.sh"

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP_NAME:?}"

# Refused with 403 while the app's role on the package container is too new to count.
if ! try_for "The deployment of the package" 5 60 \
  az functionapp deployment source config-zip --resource-group "$AZURE_RESOURCE_GROUP" \
  --name "$FUNCTION_APP_NAME" --src "${1:?name the package}" --build-remote true --output none; then
  echo "The package was not deployed; the message above says why. See docs/operations.md." >&2
  exit 1
fi
