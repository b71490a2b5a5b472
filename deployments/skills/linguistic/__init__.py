"""Transcripts to the 16 linguistic features, the same code in training and in serving.

``words`` splits texts, ``lexicon`` counts marker words, ``readability`` has Flesch's formula, ``sentiment`` the tone,
``grammar`` what needs a spaCy pipeline, and ``extract`` puts them together. Nothing here keeps or logs a text.
"""
