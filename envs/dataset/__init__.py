"""Dataset folders of labelled frames: writing, COCO annotations, contact sheets."""
