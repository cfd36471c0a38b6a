"""Datasets of labelled images: COCO annotations, masks, vocabularies."""
