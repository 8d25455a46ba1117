"""Statistics of errors: functions of arrays, which know no file, no option and no word for people."""
