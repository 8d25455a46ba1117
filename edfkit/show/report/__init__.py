"""The report: one HTML file with all that comparing design spaces gives, which opens without a network.

`content` runs the studies, `figures` draws what needs no program to be read, `models` packs the models for what is
drawn anew in the browser, and `page` puts it all into one file.
"""
