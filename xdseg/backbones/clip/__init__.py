"""A small vision-language model, pre-trained on generated scenes and captions that tell what is in them."""
