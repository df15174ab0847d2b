"""The report's pictures, as SVG drawn here.

Not Vega-Altair: the bundle of Vega that a page without network must carry is a megabyte, it draws
no flow between stages, and colours cannot follow the reader's light or dark. Drawn here a picture
is some kilobytes, prints as it stands, takes its colours from the page, and needs no script to be
seen; a few lines of script tell the numbers under the pointer. Every picture is drawn twice, wide
and narrow, and the page shows the one that fits.
"""
