"""The engine: specification, build, driver, stop rules, history, Run, background job."""
