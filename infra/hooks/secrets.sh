#!/bin/sh
# After provisioning: makes the secrets that the vault does not have yet, and lets new roles settle.
# Reads KEY_VAULT_NAME and SECRET_SETTINGS (names of app settings, separated by commas).
# A secret that is there is left alone: to rotate one see docs/security.md.
set -eu

: "${KEY_VAULT_NAME:?set the name of the vault}"
pause=${HOOK_PAUSE_SECONDS:-10}
tries=${HOOK_TRIES:-60}
settle=${ROLE_SETTLE_SECONDS:-90}

# The right to read the vault is new, too: it can take minutes to take effect.
left=$tries
until there=$(az keyvault secret list --vault-name "$KEY_VAULT_NAME" --query '[].name' --output tsv 2> /dev/null); do
  left=$((left - 1))
  if [ "$left" -le 0 ]; then
    echo "The vault $KEY_VAULT_NAME cannot be read. You need the role Key Vault Secrets Officer on it:" >&2
    echo "set AZURE_PRINCIPAL_ID (and AZURE_PRINCIPAL_TYPE) to yourself and provision again." >&2
    az keyvault secret list --vault-name "$KEY_VAULT_NAME" --query '[].name' --output tsv
    exit 1
  fi
  sleep "$pause"
done

umask 077
file=$(mktemp)
trap 'rm -f "$file"' EXIT
made=0
for setting in $(echo "${SECRET_SETTINGS:-}" | tr ',' ' '); do
  secret=$(echo "$setting" | tr '_' '-')
  if echo "$there" | grep -qxF "$secret"; then
    echo "Secret $secret: kept"
    continue
  fi
  # Through a file, since arguments can be read by every process of the machine.
  printf 'whsec_%s' "$(head -c 32 /dev/urandom | base64 | tr -d '\n')" > "$file"
  az keyvault secret set --vault-name "$KEY_VAULT_NAME" --name "$secret" --file "$file" --encoding utf-8 \
    --output none
  echo "Secret $secret: made"
  made=1
done

if [ "$made" -eq 1 ]; then
  # First time: the app's own roles are new as well, and a deployment before they take effect is refused with 403.
  echo "Waiting $settle s for the app's roles to count"
  sleep "$settle"
fi
