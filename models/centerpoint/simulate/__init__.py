"""A LiDAR simulator: frames like nuScenes' with true boxes, made from a seed. README.md says what it is good for."""
