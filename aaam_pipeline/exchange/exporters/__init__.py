"""Labels of photographs, with what people decided of them, as the files of other programs.

rows        annotations and decisions -> a row for every photograph
pictures    links to or copies of the photographs, in the folder that is written
tables, coco, fiftyone, yolo, webdataset, imagefolder: a format each
run         the formats by name; what is written is published whole
"""
