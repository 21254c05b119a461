"""What a page says in the browser's console."""

#: anywidget's own clock of two seconds, which a busy machine overruns without harm: the widget comes later
_LATE = "[anywidget] Failed to initialize model."


def errors_of(page):
    """Return a list that gathers the errors of a page from now on."""
    said = []

    def listen(text):
        if _LATE not in text:
            said.append(text)

    page.on("console", lambda message: listen(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: listen(str(error)))
    return said
