"""`python -m cicd` is `cicd`."""

from cicd.cli import main

if __name__ == "__main__":
    main()
