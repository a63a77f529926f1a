//! End-to-end tests: the real program against real files and servers.
