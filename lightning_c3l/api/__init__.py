"""What `import lightning_c3l` offers to notebooks and programs; its names stand in the root of the package."""
