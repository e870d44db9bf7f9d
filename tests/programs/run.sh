#!/bin/bash
# Runs a case natively and in a sandbox and compares what came out: standard output and error together, and the exit
# status.
#   run.sh CASE MOAT        CASE: the name of a file in cases/, with or without .sh; MOAT: the program
# Exits 0 when both agree and the native run succeeded, 77 when a program the case needs is missing, else 1.
#
# A case says `# needs: PROGRAM...` (commands or absolute paths) and may say `# flags: ...` for `moat do`. It is run by
# the interpreter of its first line, in a new directory, with a small fixed environment and no standard input.
set -u
here=$(cd "$(dirname "$0")" && pwd)
name=$(basename "$1" .sh)
moat=$2
script=$here/cases/$name.sh
limit=${MOAT_PROGRAMS_LIMIT:-120}
[ -r "$script" ] || { echo "no such case: $script"; exit 1; }

path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
for program in $(sed -n 's/^# needs: //p' "$script"); do
  PATH=$path command -v "$program" >/dev/null || [ -e "$program" ] || { echo "skipped: no $program"; exit 77; }
done
flags=()
[ -d "${MOAT_BUILD:-}" ] && flags+=(--ro "$MOAT_BUILD")  # it may lie below /tmp, which is not seen inside
read -ra more < <(sed -n 's/^# flags: //p' "$script") && flags+=("${more[@]}")

work=$(mktemp -d "${TMPDIR:-/tmp}/moat-programs.XXXXXX") || exit 1
trap 'chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
umask 022

clean=(env -i "PATH=$path" LANG=C.UTF-8 TZ=UTC SHELL=/bin/bash "TMPDIR=/tmp" "MOAT_BUILD=${MOAT_BUILD:-}")
# run NAME COMMAND...: leaves NAME.out and NAME.rc in the work directory. The case's own directory is called DIR in both.
run() {
  local out=$work/$1.out
  shift
  timeout -k 10 "$limit" "$@" </dev/null 2>&1 | cat >"$out.raw"
  echo "exit ${PIPESTATUS[0]}" >"${out%.out}.rc"
  sed -E "s,/tmp/moat-case\.[A-Za-z0-9]{6},DIR,g; s/(: line [0-9]+: ) *[0-9]+ /\1PID /" "$out.raw" >"$out"
}

run native "${clean[@]}" /bin/bash "$here/start.sh" "$script"
run moat "$moat" do "${flags[@]}" -- "${clean[@]}" /bin/bash "$here/start.sh" "$script"

ok=0
[ "$(cat "$work/native.rc")" = "exit 77" ] && { echo "skipped by the case"; exit 77; }
if [ "$(cat "$work/native.rc")" != "exit 0" ]; then
  echo "== the native run failed: $(cat "$work/native.rc")"
  tail -20 "$work/native.out"
  ok=1
fi
[ -s "$work/native.out" ] || { echo "== the case printed nothing"; ok=1; }
diff -u --label native --label moat "$work/native.rc" "$work/moat.rc" || ok=1
diff -a -u --label native --label moat "$work/native.out" "$work/moat.out" | head -100
[ "${PIPESTATUS[0]}" = 0 ] || ok=1
[ $ok = 0 ] && echo "same output, $(wc -l <"$work/native.out") lines"
exit $ok
