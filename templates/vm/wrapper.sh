#!/bin/bash
# Root's keeper of one start of pi. Usage: wrapper.sh FOLDER, a folder below /var/lib/swarm made by keeper.py.
#
#   in.fifo   commands for pi (written by send.py)        err      pi's stderr
#   out.jsonl events, through event_filter.py             pid, rc  pi's process id and exit status
#
# A pi that is killed (by the kernel for its memory, say) is started again with its conversation, twice at most. Ends when
# pi has ended for good, so that the FIFO has no reader then and a sender learns it at once.
set -u
cd "$1" || exit 1

# Closing tmux or the line that started it must not take pi away in the middle of a turn: pi gets a session of its
# own below, and this keeper and the filter ignore the hang-up. pi is stopped by its process id.
trap '' HUP

# A FIFO ends for its reader when the last writer closes it; with this descriptor there is always one.
exec 3<>in.fifo
printf '{"id":"ready","type":"get_state"}\n' >&3

{
  set -a
  . /etc/profile.d/swarm.sh
  . ./settings
  HOME=/home/agent USER=agent LOGNAME=agent SHELL=/bin/bash
  NODE_COMPILE_CACHE=/home/agent/.cache/node-compile PI_OFFLINE=1 PI_SKIP_VERSION_CHECK=1 PI_TELEMETRY=0
  set +a
  unset TMUX TMUX_PANE
  cd /root/workspace || exit 1
  sessions=/home/agent/sessions session=
  for again in 1 1 0; do
    setsid setpriv --reuid=agent --regid=agent --init-groups --no-new-privs \
      pi --mode rpc --provider anthropic --model "$SWARM_MODEL" --thinking "$SWARM_THINKING" \
         --session-dir "$sessions" ${session:+--session "$session"} \
         ${SWARM_TOOLS:+--tools "$SWARM_TOOLS"} --no-extensions --extension /opt/swarm/swarm.ts <&3 3<&- 2>>"$1/err" &
    pi=$!
    echo "$pi" >"$1/pid.new" && mv "$1/pid.new" "$1/pid"
    wait "$pi"
    status=$?
    session=$(find "$sessions" -name '*.jsonl' -printf '%T@ %p\n' 2>/dev/null | sort -rn | head -n 1 | cut -d ' ' -f 2-)
    # Only what came from outside; the first answer of the model must have been written down.
    [ "$again" = 1 ] && [ "$status" -gt 128 ] && [ ! -e "$1/stopping" ] && [ -n "$session" ] || break
    # The leading line end closes a line that pi left half written.
    printf '\n{"type":"swarm_restart","status":%d}\n' "$status"
  done
  exec 3<&-
  # The bot reads the end where it reads everything else.
  printf '\n{"type":"swarm_exit","status":%d}\n' "$status"
  echo "$status" >"$1/rc.tmp" && mv "$1/rc.tmp" "$1/rc"
} | python3 -I /opt/swarm/event_filter.py >>out.jsonl 3<&-
