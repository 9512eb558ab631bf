"""An MCP server, with which agents plan, submit, watch and cancel workloads: `python -m qmode_widgets.mcp`.

It stands beside the screens and uses the same controllers. Nothing is submitted without a usage cap.
"""
