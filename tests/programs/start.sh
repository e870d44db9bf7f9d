# Runs a case ($1) in a new directory that is removed afterwards; the status is the case's.
dir=$(mktemp -d /tmp/moat-case.XXXXXX) || exit 99
cd "$dir" || exit 99
export HOME=$dir
umask 022
interpreter=$(sed -n '1s/^#!//p' "$1")
$interpreter "$1"
status=$?
cd /
chmod -R u+rwx "$dir" 2>/dev/null
rm -rf "$dir"
exit $status
