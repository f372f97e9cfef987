"""A data set becomes a prepared folder: plan, images, split, record of what is done."""
