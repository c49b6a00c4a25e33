"""MAST: the hurdle model of Finak et al. (2015), as Seurat calls it."""
