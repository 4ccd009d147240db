#!/bin/sh
# After the code is deployed: the Event Grid subscription that tells the app of finished collections.
# Reads AZURE_RESOURCE_GROUP, FUNCTION_APP_NAME, FUNCTION_APP_URL and the variables of eventgrid.bicepparam.
set -eu
here=$(dirname "$0")
# shellcheck source=infra/hooks/lib.sh
. "$here/lib.sh"

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP_NAME:?}" "${FUNCTION_APP_URL:?}"
: "${EVENT_GRID_TOPIC:?}" "${DATA_STORAGE_ACCOUNT:?}" "${DEAD_LETTER_CONTAINER:?}"
BLOB_FUNCTION=exported_file

# wait_for WHAT REMEDY TRIES PAUSE COMMAND…
wait_for() {
  what=$1
  remedy=$2
  shift 2
  if ! try_for "$what" "$@"; then
    echo "$remedy" >&2
    exit 1
  fi
  echo "$what: there"
}

has_function() {
  az functionapp function list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" \
    --query '[].name' --output tsv | grep -qx ".*/$BLOB_FUNCTION"
}

# The host makes the key when it has loaded the function, so it must run; the key itself is never read here.
has_key() {
  curl --silent --output /dev/null --max-time 30 "$FUNCTION_APP_URL/api/health" || true
  [ "$(az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" \
    --query 'systemKeys.blobs_extension != null' --output tsv)" = true ]
}

# Event Grid calls the function to check it. A cold start can be too slow for that, and the topic's new role
# on the dead-letter container may not count yet.
is_subscribed() {
  az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name eventgrid \
    --parameters "$here/../eventgrid.bicepparam" --output none
}

wait_for "Function $BLOB_FUNCTION" \
  "Was the code deployed, and does $FUNCTION_APP_URL/api/health answer? See docs/operations.md." 60 10 has_function
wait_for "Key of the blob webhook" "See the host's log: docs/operations.md." 60 10 has_key
wait_for "Event Grid subscription" "The message above says why." 10 30 is_subscribed
