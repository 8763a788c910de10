"""The Model Context Protocol (MCP): its extension Events (SEP-3415), and tools for agents. Only hosts that include its URLs import it."""
