/* A preload that is and does nothing: what any preload costs. */
