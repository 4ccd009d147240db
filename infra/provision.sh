#!/bin/sh
# Deploys main.bicep without azd, and prints its outputs as NAME=value lines, for the hooks.
# Reads the variables of main.bicepparam; needs az and jq.
set -eu
here=$(dirname "$0")
# shellcheck source=infra/hooks/lib.sh
. "$here/hooks/lib.sh"

: "${AZURE_ENV_NAME:?set the name of the deployment}" "${AZURE_LOCATION:?set the region}"
outputs=$(az deployment sub create --name "mobexport-$AZURE_ENV_NAME" --location "$AZURE_LOCATION" \
  --parameters "$here/main.bicepparam" --query properties.outputs --output json)
# ARM changes the case of output names; restore it.
echo "$outputs" | jq --raw-output 'to_entries[] | "\(.key | ascii_upcase)=\(.value.value)"'
