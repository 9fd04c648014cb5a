# The guide's daemon: a FIFO that a sleeper keeps open, pi in tmux between it and a growing file. Usage: bash -s FOLDER MODEL
set -e
. /etc/profile.d/swarm.sh
mkdir -p "$1" /root/workspace
rm -f "$1/in" "$1/out"
mkfifo "$1/in"
touch "$1/out"
export PI_OFFLINE=1 PI_CODING_AGENT_DIR=/root/.pi/agent
tmux new-session -d -s pi-keeper "sleep infinity >$1/in"
tmux new-session -d -s pi-rpc "cd /root/workspace && pi --mode rpc --no-session --provider anthropic --model $2 --thinking off --no-extensions --extension /opt/swarm/swarm.ts <$1/in >>$1/out 2>>$1/err"
sleep 1
tmux has-session -t pi-rpc && echo daemon_started || echo daemon_failed
