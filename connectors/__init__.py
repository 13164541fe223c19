"""Where does it come from? Sources, and the way from an agency's file to records."""
