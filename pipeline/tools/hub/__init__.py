"""What leaves a study for other tools: cells for SAELens, a folder for the Hugging Face hub."""
