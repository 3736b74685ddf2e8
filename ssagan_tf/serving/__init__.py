"""One server for the REST API and the page."""
