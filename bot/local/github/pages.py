"""The pages (being written)."""

from flask import Blueprint

from bot.core.texts import Texts
from bot.local.github.api import Api


def blueprint(api: Api, texts: Texts) -> Blueprint:
    """The routes."""
    return Blueprint("pages", __name__)
