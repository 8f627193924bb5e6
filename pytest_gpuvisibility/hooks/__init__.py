"""What other plugins and conftest files may supply, and how they are asked."""
