"""How the sample's insects are drawn: species, body parts, wings, whole insects, scenes, photographs."""
