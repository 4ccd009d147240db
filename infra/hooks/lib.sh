# What the scripts of this folder share; they read it with `.`, it does nothing by itself.

# The Azure CLI, on the subscription that azd (or AZURE_SUBSCRIPTION_ID) means, not on its own default one.
# On Windows it ends lines with carriage returns.
az() {
  [ -z "${AZURE_SUBSCRIPTION_ID:-}" ] || set -- "$@" --subscription "$AZURE_SUBSCRIPTION_ID"
  answer=$(command az "$@") || return
  [ -z "$answer" ] || printf '%s\n' "$answer" | tr -d '\r'
}

# try_for WHAT TRIES PAUSE COMMAND…: repeats the command, PAUSE seconds apart, until it succeeds. If it never does:
# fails with the command's last message. The key of a webhook's URL is taken out of it.
try_for() {
  what=$1
  tries=$2
  pause=$3
  shift 3
  said=$(mktemp)
  left=$tries
  until "$@" 2> "$said"; do
    left=$((left - 1))
    if [ "$left" -le 0 ]; then
      sed 's/code=[^&" ]*/code=(hidden)/g' "$said" >&2
      rm -f "$said"
      echo "$what: not after $tries tries, $pause s apart." >&2
      return 1
    fi
    sleep "$pause"
  done
  rm -f "$said"
}
