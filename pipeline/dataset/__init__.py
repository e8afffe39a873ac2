"""From files on disk to batches: layouts, the reader, the cache, duplicates, augmentation, the sample."""
