#!/bin/sh
# After the code is deployed: the Event Grid subscription that tells the app of finished collections.
# Reads AZURE_RESOURCE_GROUP, FUNCTION_APP_NAME, FUNCTION_APP_URL and the variables of eventgrid.bicepparam.
set -eu

: "${AZURE_RESOURCE_GROUP:?}" "${FUNCTION_APP_NAME:?}" "${FUNCTION_APP_URL:?}"
: "${EVENT_GRID_TOPIC:?}" "${DATA_STORAGE_ACCOUNT:?}" "${DEAD_LETTER_CONTAINER:?}"
BLOB_FUNCTION=exported_file
pause=${HOOK_PAUSE_SECONDS:-10}
tries=${HOOK_TRIES:-60}
here=$(dirname "$0")

wait_for() {
  what=$1
  remedy=$2
  shift 2
  left=$tries
  until "$@"; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
      echo "$what: not there after $tries looks, $pause s apart. $remedy" >&2
      exit 1
    fi
    sleep "$pause"
  done
  echo "$what: there"
}

has_function() {
  az functionapp function list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" \
    --query '[].name' --output tsv 2> /dev/null | grep -qx ".*/$BLOB_FUNCTION"
}

# The host makes the key when it has loaded the function, so it must run; the key itself is never read here.
has_key() {
  curl --silent --output /dev/null --max-time 30 "$FUNCTION_APP_URL/api/health" || true
  [ "$(az functionapp keys list --resource-group "$AZURE_RESOURCE_GROUP" --name "$FUNCTION_APP_NAME" \
    --query 'systemKeys.blobs_extension != null' --output tsv 2> /dev/null)" = true ]
}

# Event Grid calls the function to check it. A cold start can be too slow for that, and the topic's new role
# on the dead-letter container may not count yet.
is_subscribed() {
  az deployment group create --resource-group "$AZURE_RESOURCE_GROUP" --name eventgrid \
    --parameters "$here/../eventgrid.bicepparam" --output none 2> "$log" && return 0
  sed 's/code=[^&" ]*/code=(hidden)/g' "$log" >&2
  return 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
wait_for "Function $BLOB_FUNCTION" \
  "Was the code deployed, and does $FUNCTION_APP_URL/api/health answer? See docs/operations.md." has_function
wait_for "Key of the blob webhook" "See the host's log: docs/operations.md." has_key
tries=${HOOK_SUBSCRIBE_TRIES:-5}
wait_for "Event Grid subscription" "The last message above says why." is_subscribed
