#!/bin/sh
# Escape attempts out of an image made for the purpose. Usage: escapes.sh PROGRAMS BUSYBOX; prints what failed, exit 1.
# Root makes device nodes as well; an ordinary user's image does without.
moat=$1/moat
busybox=$2
[ -x "$busybox" ] || { echo "SKIP: no static busybox"; exit 77; }
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failures=0
image=$work/image
mkdir -p "$image/bin" "$image/etc" "$image/proc" "$image/dev" "$image/sys" "$image/tmp" "$image/run" "$image/deep/er"
chmod 755 "$work" "$image"
cp "$busybox" "$image/bin/busybox"
for name in sh cat ls id mknod readlink timeout stat mkdir cp ln; do ln -s busybox "$image/bin/$name"; done
echo MARKER-OUTSIDE >"$work/secret"
chmod 644 "$work/secret"
echo inside >"$image/etc/hostname"
ln -s ../secret "$image/relative"
ln -s ../../../../../../../../../..$work/secret "$image/climb"
ln -s "$work/secret" "$image/absolute"
ln -s /proc/self/root/../secret "$image/magic"
ln -s ../.. "$image/deep/er/up"
mkfifo "$image/fifo"
mkdir "$image/suid"; cp "$busybox" "$image/suid/busybox"
chmod 4755 "$image/suid/busybox"
if [ "$(id -u)" = 0 ]; then
  mknod "$image/kmsg" c 1 11
  mknod "$image/disk" b 254 0
fi

guest() { timeout 60 "$moat" do --rootfs "$image" "$@" 2>&1; }
# check NAME EXPECTED(a pattern of case) COMMAND: what the guest prints
check() {
  name=$1 expected=$2
  shift 2
  out=$(guest -- /bin/sh -c "$*")
  case "$out" in
    *MARKER-OUTSIDE*) echo "ESCAPE: $name: $out"; failures=$((failures + 1)) ;;
    $expected) ;;
    *) echo "FAILED: $name: expected $expected, got: $out"; failures=$((failures + 1)) ;;
  esac
}

check "dot-dot stops at the root" inside "cd /; cat ../../../etc/hostname"
check "a relative symlink out" "*No such file*" "cat /relative"
check "a climbing symlink" "*No such file*" "cat /climb"
check "an absolute symlink is the guest's" "*No such file*" "cat /absolute"
check "a symlink through proc" "*No such file*" "cat /magic"
check "a directory symlink upwards" "inside" "cat /deep/er/up/etc/hostname"
check "proc's root link" "*No such file*" "cat /proc/self/root/../secret"
check "proc's cwd link" "*No such file*" "cd /deep; cat /proc/self/cwd/../../secret"
check "a made symlink" "*No such file*" "ln -s ../../../../..$work/secret /tmp/l; cat /tmp/l"
# ls names a process that ended between the reading of the directory and the look at its entry, natively too: busybox's timeout
# starts one that ends at once.
check "other processes are not in proc" "1" "ls /proc 2>/dev/null | timeout 5 /bin/busybox grep -c '^1\$'"
check "no host pid is visible" "" "ls /proc 2>/dev/null | /bin/busybox grep -E '^[0-9]{4,}\$' || true"
check "only stdio is inherited" "0*1*2*3" "ls /proc/self/fd | /bin/busybox tr '\n' ' ' | /bin/busybox sed 's/ *\$//'"

# Set-id bits of an image are not honoured.
out=$(guest --user 1000 -- /suid/busybox id -u)
[ "$out" = 1000 ] || { echo "FAILED: set-id of the image: $out"; failures=$((failures + 1)); }

# The image's FIFO is the guest's own: nobody on the host hears of it.
(timeout 5 cat "$image/fifo" >"$work/heard" 2>/dev/null) &
reader=$!
guest -- /bin/sh -c 'timeout 1 /bin/busybox sh -c "echo MARKER-FIFO >/fifo"' >/dev/null
kill "$reader" 2>/dev/null
wait "$reader" 2>/dev/null
grep -q MARKER-FIFO "$work/heard" && { echo "ESCAPE: the image's FIFO reaches the host"; failures=$((failures + 1)); }

if [ "$(id -u)" = 0 ]; then
  check "a device node of the image" "*No such device*" "cat /kmsg"
  check "a block device of the image" "*No such device*" "cat /disk"
  check "a device node made by the guest" "*" "mknod /tmp/kmsg c 1 11; cat /tmp/kmsg | /bin/busybox head -c 1"
fi

# An inherited descriptor must not reach the guest.
out=$(exec 9<"$work/secret"; guest -- /bin/sh -c 'cat /proc/self/fd/9; cat <&9')
case "$out" in *MARKER-OUTSIDE*) echo "ESCAPE: descriptor 9 was inherited"; failures=$((failures + 1)) ;; esac

[ "$failures" = 0 ] && echo "no escape"
exit $((failures > 0))
