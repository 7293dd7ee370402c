# Sourced by .ci/run, ci/test and ci/lab-up: runs parts one after another, one line each, with times, counts and a total.
#
#   step NAME REMEDY COMMAND…   runs COMMAND with its output in a log; prints what it is doing while it runs (on a terminal
#                               its newest line, elsewhere a sign of life a minute), then one line with counts and seconds.
#                               A failure shows what its log says of why, then the remedy. Returns the command's status.
#   ahead NAME COMMAND…         puts a build that a later part needs in a queue; begin_ahead starts it. One after another they
#                               are built beside the parts, with what these leave of the processors while they wait.
#   built_ahead NAME COMMAND…   waits for that build, or, where there is none or it failed, runs COMMAND.
#   finish                      prints the table and, as the last line, "N passed, N failed"; returns 1 when a part failed.
#
# Counts are read from the log: ctest's and pytest's summaries (whose time is negative where a test set the clock back), or a
# line "summary: N passed, N failed" that our own scripts print; a part without any of these counts as one.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
log_dir=${VPN_LOG_DIR:-$root/build-logs}
test_jobs=${VPN_JOBS:-$(($(nproc) * 3 / 2))} # a test waits almost half of its time: for a timer, a link, an answer
export PYTHONDONTWRITEBYTECODE=1               # of root's it would lie in a user's checkout
step_rows=()
passed_total=0
failed_total=0

# Runs a command as whoever owns the checkout, so that `sudo make …` leaves no root-owned files in a user's tree.
as_owner() {
  local uid gid groups=--clear-groups home
  uid=$(stat -c %u "$root") gid=$(stat -c %g "$root")
  if [ "$(id -u)" -ne 0 ] || [ "$uid" -eq 0 ]; then
    "$@"
    return
  fi
  home=$(getent passwd "$uid" | cut -d: -f6)
  [ -z "$home" ] || groups=--init-groups
  # An owner without a home (a mounted volume's, say) keeps its compiler cache in the checkout.
  [ -d "$home" ] || home=$root/build-home
  setpriv --reuid "$uid" --regid "$gid" "$groups" env HOME="$home" "$@"
}

# What root has made in a user's checkout is the user's.
give_back() {
  [ "$(id -u)" -ne 0 ] || chown -R --reference="$root" "$@" 2>/dev/null || true
}

# git on this checkout, whoever of the owner and root laid which part of it.
git_here() { as_owner git -C "$root" -c safe.directory='*' "$@"; }

# Sets `passed`, `failed` and `skipped` from a log and the command's exit status.
read_counts() {
  local log=$1 status=$2 line
  passed=0 failed=0 skipped=0
  while IFS= read -r line; do
    if [[ $line =~ ([0-9]+)\ tests\ failed\ out\ of\ ([0-9]+) ]]; then
      failed=$((failed + BASH_REMATCH[1])) passed=$((passed + BASH_REMATCH[2] - BASH_REMATCH[1]))
    elif [[ $line =~ ^summary:\ ([0-9]+)\ passed,\ ([0-9]+)\ failed ]]; then
      passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
    elif [[ $line =~ (passed|failed|error|errors|skipped)(,.*)?\ in\ -?[0-9.]+s ]]; then
      [[ $line =~ ([0-9]+)\ passed ]] && passed=$((passed + BASH_REMATCH[1]))
      [[ $line =~ ([0-9]+)\ failed ]] && failed=$((failed + BASH_REMATCH[1]))
      [[ $line =~ ([0-9]+)\ error ]] && failed=$((failed + BASH_REMATCH[1]))
      [[ $line =~ ([0-9]+)\ skipped ]] && skipped=$((skipped + BASH_REMATCH[1]))
    fi
  done <"$log"
  if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
  if [ "$status" -eq 0 ] && [ $((passed + failed + skipped)) -eq 0 ]; then passed=1; fi
  return 0
}

# What a failed part's log says of why: ctest prints it where the test was, pytest and others at the end.
show_failure() {
  local log=$1
  if grep -qE '\*\*\*(Failed|Timeout|Exception)' "$log"; then
    grep -E -A 30 '\*\*\*(Failed|Timeout|Exception)' "$log" | grep -vE '^--$| +Passed +[0-9.]+ sec$|^ +Start +[0-9]+:' | tail -n 80
    tail -n 12 "$log"
  else
    tail -n 60 "$log"
  fi
}

step() {
  local name=$1 remedy=$2 status=0 begin=$SECONDS pid log
  shift 2
  as_owner mkdir -p "$log_dir"
  log=$log_dir/${name//[^A-Za-z0-9._-]/-}.log
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  [ -t 1 ] || printf '%s …\n' "$name"
  while kill -0 "$pid" 2>/dev/null; do
    if [ -t 1 ]; then
      printf '\r\033[K%s  %d s  %.90s' "$name" $((SECONDS - begin)) "$(tail -n 1 "$log" | tr -d '\r')"
      sleep 0.2
    elif ! timeout 60 tail -s 0.2 --pid="$pid" -f /dev/null; then # one process a minute, where sleeps would be five a second
      printf '  … %d s  %.100s\n' $((SECONDS - begin)) "$(tail -n 1 "$log" | tr -d '\r')"
    fi
  done
  wait "$pid" || status=$?
  give_back "$log"
  [ ! -t 1 ] || printf '\r\033[K'

  local passed failed skipped verdict=ok
  read_counts "$log" "$status"
  [ "$failed" -eq 0 ] || { verdict=FAIL; [ "$status" -ne 0 ] || status=1; }
  passed_total=$((passed_total + passed)) failed_total=$((failed_total + failed))
  step_rows+=("$(printf '%-34s %7d %7d %8d %8d' "$name" "$passed" "$failed" "$skipped" $((SECONDS - begin)))")
  local counts=": $passed passed, $failed failed, $skipped skipped"
  [ "$passed/$failed/$skipped" != 1/0/0 ] || counts=
  printf '%-4s %s%s (%d s)\n' "$verdict" "$name" "$counts" $((SECONDS - begin))
  if [ "$status" -ne 0 ]; then
    show_failure "$log" | sed 's/^/    /'
    printf 'remedy: %s (whole log: %s)\n' "$remedy" "${log#"$root"/}"
  fi
  return "$status"
}

ahead_queue=()
ahead_dir=$log_dir/ahead
ahead_pid=

ahead() { ahead_queue+=("$*"); } # words without spaces

# A session of its own, so that end_ahead reaches all of it; where sessions share processors evenly (autogroup), that
# session is given the least share. A build that fails ends the queue: the part that needs it says why.
begin_ahead() {
  as_owner rm -rf "$ahead_dir"
  as_owner mkdir -p "$ahead_dir"
  local idle=(chrt --idle 0)
  "${idle[@]}" true 2>/dev/null || idle=(nice -n 19)
  setsid "${idle[@]}" bash -c '
    { echo 19 >/proc/self/autogroup; } 2>/dev/null
    for build in "${@:2}"; do
      name=$1/${build%% *}
      ${build#* } >"$name.log" 2>&1 || exit
      : >"$name.done"
    done' ahead "$ahead_dir" "${ahead_queue[@]}" </dev/null &>/dev/null &
  ahead_pid=$!
}

end_ahead() {
  [ -z "$ahead_pid" ] || { kill -- -"$ahead_pid" || kill "$ahead_pid"; } 2>/dev/null
  give_back "$log_dir"
}

built_ahead() {
  local name=$1 said='' line
  shift
  while [ -n "$ahead_pid" ] && [ ! -e "$ahead_dir/$name.done" ] && kill -0 "$ahead_pid" 2>/dev/null; do
    line=$(tail -qn 1 "$ahead_dir"/*.log 2>/dev/null | tail -n 1)
    if [ "$line" != "$said" ]; then
      said=$line
      echo "$line"
    fi
    sleep 1
  done
  [ -e "$ahead_dir/$name.done" ] || "$@"
}

finish() {
  printf '\n%-34s %7s %7s %8s %8s\n' part passed failed skipped seconds
  printf '%s\n' "${step_rows[@]}"
  printf '%-34s %7d %7d %8s %8d\n' total "$passed_total" "$failed_total" '' "$SECONDS"
  printf '%d passed, %d failed\n' "$passed_total" "$failed_total"
  [ "$failed_total" -eq 0 ]
}
