"""From data to a trained model: `runner.train` runs a recipe from `recipes.RECIPES`."""
