"""What `lifecycle watch` looks at, and how it tells a break from chance."""
