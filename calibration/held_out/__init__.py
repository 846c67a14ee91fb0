"""Records and windows that training did not see, and paired figures of two graphs on them."""
