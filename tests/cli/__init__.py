"""Tests of the command line; a package, so that its files may share names with other tests."""
