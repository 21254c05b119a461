"""Widgets: the Explorer and its parts; the only room that knows the widget libraries."""
