"""`swarm-bot` and `python -m bot`: the doormat of the command line."""

from bot.cli.main import main

if __name__ == "__main__":
    main()
