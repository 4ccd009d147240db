#!/bin/sh
# Deploys the package without azd and func: `sh infra/publish.sh dist/app.zip`. Azure installs its requirements.
# Reads AZURE_RESOURCE_GROUP and FUNCTION_APP_NAME.
set -eu

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP_NAME:?}"
pause=${HOOK_PAUSE_SECONDS:-60}
left=${HOOK_TRIES:-3}

# Refused with 403 while the app's role on the package container is too new to count.
until az functionapp deployment source config-zip --resource-group "$AZURE_RESOURCE_GROUP" \
  --name "$FUNCTION_APP_NAME" --src "${1:?name the package}" --build-remote true --output none; do
  left=$((left - 1))
  if [ "$left" -le 0 ]; then
    echo "The package was not deployed; the last message above says why. See docs/operations.md." >&2
    exit 1
  fi
  sleep "$pause"
done
