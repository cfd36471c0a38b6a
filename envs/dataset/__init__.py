"""Dataset folders of labeled frames: writing, COCO annotations, contact sheets."""
