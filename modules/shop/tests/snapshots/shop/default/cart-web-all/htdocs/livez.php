<?php header('Content-Type: text/plain'); echo "alive\n";
