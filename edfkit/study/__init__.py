"""The studies: from the populations of an archive, or of arrays, to a result that says what took part and how."""
