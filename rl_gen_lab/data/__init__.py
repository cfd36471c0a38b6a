"""Datasets of annotated images: COCO annotations, masks, vocabularies."""
